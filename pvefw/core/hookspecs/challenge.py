"""The challenge family: proving control over the identifiers of an order (RFC 8555 section 8)."""

from collections.abc import Sequence

from pvefw.core.hookspecs import required
from pvefw.core.model import Challenge, Task


class ChallengeSpec:
    """Answers challenges.

    A complete plugin that serves http-01 from the document root of a web server that already runs::

        @dataclass
        class Webroot:
            '''http-01 through a running web server.'''

            webroot: Path = setting(help="The document root.")

            @hookimpl
            def challenge_types(self):
                return ["http-01"]

            @hookimpl
            def challenge_present(self, challenges):
                for challenge in challenges:
                    self._file(challenge).parent.mkdir(parents=True, exist_ok=True)
                    self._file(challenge).write_text(challenge.key_authorization)

            @hookimpl
            def challenge_cleanup(self, challenges):
                for challenge in challenges:
                    self._file(challenge).unlink(missing_ok=True)

            def _file(self, challenge):
                return self.webroot / ".well-known/acme-challenge" / challenge.token
    """

    @required
    def challenge_types(self) -> Sequence[str]:
        """The challenge types that this plugin answers, best first.

        Called before anything is presented, perhaps often; it must not touch the network.

        Never called twice at once on an instance. It may take 120 seconds. Since 1.0.

        :returns: types of RFC 8555 section 9.7.8, such as ``http-01``, or newer ones: core hands any
            type on that a plugin names; never empty.
        """

    @required
    def challenge_present(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Make the answers to these challenges visible to the ACME server.

        Called once with all challenges of an order that fall to this plugin. When it returns, every
        answer can be fetched: the server is told at once. The clean-up of an order gets the same
        instance, unless the process ended before. Two orders may present two tokens for one name.

        Never called twice at once on an instance. It may take 120 seconds. Since 1.0.

        :param challenges: of the types from :meth:`challenge_types`; at least one. A type without
            tokens has an empty ``token`` and ``key_authorization``; what a record needs instead is in
            ``account``, ``thumbprint`` and ``issuers``.
        :param task: for messages and cancellation.
        :raises ProviderError: when an answer cannot be made visible. What was presented until then
            is cleaned up by the :meth:`challenge_cleanup` that follows in any case.
        """

    @required
    def challenge_cleanup(self, challenges: Sequence[Challenge], task: Task) -> None:
        """Take down what :meth:`challenge_present` put up for these challenges.

        Always called, also after a :meth:`challenge_present` that failed half-way or was cancelled;
        what is already gone is not an error. Nothing else may be taken down, and nothing that was opened
        for these challenges may stay open.

        Never called twice at once on an instance. It may take 120 seconds. Since 1.0.

        :param challenges: the same as were given to :meth:`challenge_present`.
        :param task: for messages.
        :raises ProviderError: when something is left behind; the message says what and where.
        """
