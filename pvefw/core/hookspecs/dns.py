"""The DNS families: TXT records at a provider, and catalogues that know many providers.

Core does the rest: it follows aliases and CNAMEs, finds the zone, batches, writes the journal, waits
for the authoritative servers, tries again, and cleans up.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from pvefw.core.hookspecs import optional, required
from pvefw.core.model import CatalogEntry, Task, TxtRecord


class DnsSpec:
    """Adds TXT records to a zone and removes them again.

    A complete plugin, for a provider with an HTTP API::

        @dataclass
        class Acmecorp:
            '''DNS at Acmecorp.'''

            token: str = setting(help="API token with the right 'dns:write'.", secret=True)

            @hookimpl
            def dns_add(self, zone, records):
                for record in records:
                    self._call("PUT", zone, record)

            @hookimpl
            def dns_remove(self, zone, records):
                for record in records:
                    self._call("DELETE", zone, record)

            def _call(self, method, zone, record):
                answer = requests.request(
                    method,
                    f"https://dns.acmecorp.example/v1/{zone}/TXT/{record.name}",
                    json={"value": record.value, "ttl": record.ttl},
                    headers={"Authorization": f"Bearer {self.token}"},
                    timeout=30,
                )
                if answer.status_code == 403:
                    raise CredentialsRejected(answer.text)
                if not answer.ok:
                    raise ProviderError(f"{method} {record.name}: {answer.text}")
    """

    @required
    def dns_add(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Add these records beside what is there, then publish the zone once.

        Two records may have one name and different values; other values at the name stay. A record
        that is already there is not an error and is not doubled. On return the provider has accepted
        the change; core watches for it at the authoritative servers.

        With ``_acme-challenge.www.example.com.`` and the values ``new1`` and ``new2``::

            before                                          after
            _acme-challenge.www   86400 TXT "of others"     _acme-challenge.www   86400 TXT "of others"
                                                            _acme-challenge.www   86400 TXT "new1"
                                                            _acme-challenge.www   86400 TXT "new2"
            www                     300 A   192.0.2.1       www                     300 A   192.0.2.1

        A value of others keeps its text and its TTL; ``record.ttl`` counts for a name that has none yet.
        The name of a record may be the zone's own, where an alias leads there.

        After :class:`RateLimited` core waits and calls with fewer records: those of a call that returned
        are not given again, those of one that raised are, even where some of them had been accepted.
        After :class:`Unavailable` it calls with the same ones. A call may take 300
        seconds. Never called twice at once on an instance; :meth:`dns_remove` is called on the same
        instance, unless the process ended between them. Since 1.0.

        Where publishing is a step of its own (a refresh, an apply, a commit), it is part of this call,
        and of every repetition of it: the last attempt may have stored the records and then failed. Leave
        it out only where the provider itself tells that what it shows is published.

        :param zone: the zone that holds the records, absolute: ``example.com.``
        :param records: at least one, all of them at or below the zone.
        :param task: for messages and cancellation.
        :raises CredentialsRejected: trying again will not help.
        :raises RateLimited: core waits, ``retry_after`` seconds where that is given, and calls again.
        :raises Unavailable: core tries again a few times with the same records.
        :raises ProviderError: anything else, in the provider's own words. Core then calls
            :meth:`dns_remove` with the same records, unless the error is ``unchanged`` (since 1.1): the
            provider was never reached, or refused all of them, so that none of these records can be
            there.
        """

    @required
    def dns_remove(self, zone: str, records: Sequence[TxtRecord], task: Task) -> None:
        """Remove exactly these (name, value) pairs, then publish the zone once.

        Other values at the same names stay. A record that is not there is not an error::

            before                                          after removing "new1"
            _acme-challenge.www   86400 TXT "of others"     _acme-challenge.www   86400 TXT "of others"
            _acme-challenge.www   86400 TXT "new1"

        Time limit, repetition and concurrency are those of :meth:`dns_add`. Since 1.0. This may run
        in another process than the :meth:`dns_add` before, even days later: what is needed must be
        looked up at the provider, not remembered. Publish as in :meth:`dns_add`, also where nothing is
        left to remove. Core looks at the authoritative servers before it forgets the records, and calls
        again later where they still show.

        :param zone: as for :meth:`dns_add`.
        :param records: as for :meth:`dns_add`; ``ttl`` may differ and does not count.
        :param task: for messages and cancellation.
        :raises ProviderError: as for :meth:`dns_add`; core keeps the records in its journal.
        """

    @optional
    def dns_zones(self, task: Task) -> Sequence[str] | None:
        """The zones that these credentials can change.

        Core takes the longest one that a name is in. Without this hook, or with ``None``, core walks
        up from the name to the first SOA record (RFC 1034 section 4.2).

        Asked once for each order and instance, and repeated for 30 seconds after :class:`RateLimited` and
        :class:`Unavailable`. Never called twice at once on an instance. Since 1.0.

        :param task: for messages and cancellation; since 1.1.
        :returns: absolute names, or ``None`` where the provider cannot tell.
        :raises ProviderError: as for :meth:`dns_add`.
        """

    @optional
    def dns_login(self, task: Task, zones: Sequence[str]) -> Mapping[str, str] | None:
        """Get the credentials that only a person can give, and return them.

        For providers where somebody has to allow the access on a page: log its address, wait with
        ``task.wait`` until it is done, and return. ``acme plugin login`` calls it, on a plugin whose
        other settings are there, and stores what it returns; the time limit is that of every hook.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.0.

        :param task: its log is shown as it grows.
        :param zones: the only zones that the credentials are to be good for, absolute; empty for all. A
            hook that does not declare it is not called where there are some. Since 1.1.
        :returns: settings to store, by key, an empty value for one to remove; ``None`` where there is
            nothing to do.
        :raises CredentialsRejected: the person refused, or the other settings are wrong.
        :raises ProviderError: anything else, in the provider's own words.
        """

    @optional
    def dns_credentials_end(self) -> datetime | None:
        """When the credentials end, as far as the settings tell; it must be quick and stay offline.

        ``pvefw status`` warns before that.

        Never called twice at once on an instance. It may take 300 seconds. Since 1.1.

        :returns: an aware time; ``None`` for never, and where it is not known.
        """


class DnsCatalogSpec:
    """Offers many DNS providers from one plugin.

    A name's own entry point in ``pvefw.dns`` wins over a catalogue; ``CATALOGUE/NAME`` is always
    unambiguous. Every hook gets ``root``: the directory below which the host's files lie (``--root``),
    for catalogues that look for files.
    """

    @required
    def catalog_names(self, root: Path) -> Sequence[str]:
        """Every provider's name, sorted. Called for completion: it must be quick and stay offline.

        Never called twice at once on an instance. It may take 60 seconds. Since 1.0.

        :param root: ``/``, or the tree that ``--root`` names; since 1.1.
        """

    @required
    def catalog_entry(self, name: str, root: Path) -> CatalogEntry:
        """One provider's title and settings.

        Never called twice at once on an instance. It may take 60 seconds. Since 1.0.

        :param name: one of :meth:`catalog_names`.
        :param root: as for :meth:`catalog_names`; since 1.1.
        :raises ProviderError: when the name cannot be used after all, and why.
        """

    @required
    def catalog_make(self, name: str, values: Mapping[str, str], root: Path) -> object:
        """Make the DNS plugin for one provider.

        Never called twice at once on an instance. It may take 60 seconds. Since 1.0.

        :param name: one of :meth:`catalog_names`.
        :param values: checked against the entry's settings, unless that is open; references are resolved.
        :param root: as for :meth:`catalog_names`; since 1.1.
        :returns: an object with the hooks of :class:`DnsSpec`.
        :raises ProviderError: when it cannot be made, for instance for a missing program.
        """
