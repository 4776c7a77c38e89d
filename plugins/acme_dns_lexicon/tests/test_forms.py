"""Providers that keep TXT values in quotes or bare: what is said to be removed is gone."""

import pytest
from provider_apis import Cloudflare, HetznerCloud, HetznerDns

from pvefw.api import CredentialsRejected, ProviderError, RateLimited, TxtRecord, Unavailable
from pvefw.testing.dns import DnsConformance
from pvefw.testing.http_api import http_api
from pvefw_acme_dns_lexicon import Lexicon

APIS = [(Cloudflare, "cloudflare"), (HetznerDns, "hetzner"), (HetznerCloud, "hetzner")]
FORMS = [
    pytest.param(api, name, quoted, id=f"{api.__name__}-{'quoted' if quoted else 'bare'}")
    for api, name in APIS
    for quoted in (True, False)
    if quoted or api is not HetznerCloud  # it refuses bare values
]
RECORD = TxtRecord("_acme-challenge.www.example.com.", "value-1")


@pytest.fixture
def provider(request, led_to):
    """The API of a provider, and how to make the plugin for it."""
    api, name, quoted = request.param
    made = api(quoted)
    with http_api(made.answer) as base:
        led_to(api.url, base)
        made.plugin = lambda token=api.token: Lexicon().catalog_make(name, {"auth_token": token})
        yield made


@pytest.mark.parametrize(
    "provider", [form.values for form in FORMS], ids=[form.id for form in FORMS], indirect=True
)
class TestForms(DnsConformance):
    @pytest.fixture
    def plugin(self, provider):
        return provider.plugin()

    @pytest.fixture
    def fresh_plugin(self, provider):
        return provider.plugin

    @pytest.fixture
    def surroundings(self):
        """No bad day: it is the form of values that is held here, with many providers."""

    @pytest.fixture
    def zone(self):
        return "example.com."

    @pytest.fixture
    def records(self, provider):
        return provider.shown

    @pytest.fixture
    def broken_plugin(self, provider):
        return provider.plugin("f" * len(provider.token))

    def test_a_removal_that_does_nothing_is_no_success(self, provider, monkeypatch):
        plugin = provider.plugin()
        plugin.dns_add(zone="example.com.", records=[RECORD])
        add = provider.answered
        monkeypatch.setattr(
            provider,
            "answered",
            lambda request: (
                (200, {"action": {"id": 1, "status": "success"}})
                if request.method == "DELETE" or request.path.endswith("remove_records")
                else add(request)
            ),
        )
        with pytest.raises(Unavailable, match="still lists the value at"):
            plugin.dns_remove(zone="example.com.", records=[RECORD])

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (429, RateLimited),
            (503, Unavailable),
            (401, CredentialsRejected),
            (403, CredentialsRejected),
            (422, ProviderError),
        ],
    )
    def test_its_words_and_what_they_mean(self, provider, status, kind):
        provider.failing = status, {"error": {"message": "as the provider says it"}}
        with pytest.raises(kind, match="as the provider says it") as caught:
            provider.plugin().dns_add(zone="example.com.", records=[RECORD])
        assert type(caught.value) is kind
        if kind is RateLimited:
            assert caught.value.retry_after == 7
