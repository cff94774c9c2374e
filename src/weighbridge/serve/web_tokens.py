"""Lets people look at the catalog with an access token of the gateway, for as long as the token counts.

A token that may list shows the models that its scope covers. It never acts: see `web_acts`.
"""

from __future__ import annotations

from weighbridge.serve.token_store import Tokens, list_tokens
from weighbridge.serve.tokens import Action, Token
from weighbridge.serve.web_session import Guest
from weighbridge.store.ledger import Ledger


class TokensDoor:
    """A `web_session.TokenDoor` over the gateway's tokens. Thread-safe."""

    def __init__(self, tokens: Tokens, ledger: Ledger) -> None:
        self._tokens = tokens
        self._ledger = ledger
        self._seen: dict[str, Token] = {}

    def enter(self, token: str) -> Guest | None:
        """Who the token belongs to; None when it opens nothing. Raises as `Tokens.find`."""
        found = self._tokens.find(token)
        if found is None:
            return None
        self._seen[found.token_id] = found
        return self._guest(found)

    def still(self, identity: str) -> Guest | None:
        """The same of a token that entered before, by its id; None once it was revoked or expired.

        Raises:
            LedgerError, StoreError: the ledger cannot be read.
        """
        found = self._seen.get(identity)
        if found is None:
            found = next((one for one in list_tokens(self._ledger) if one.token_id == identity), None)
            if found is None:
                return None
            self._seen[identity] = found
        return self._guest(found)

    def _guest(self, token: Token) -> Guest | None:
        if self._tokens.state(token) != "active" or Action.LIST not in token.scope.actions:
            return None
        return Guest(token.token_id, token.name, token.scope.covers)
