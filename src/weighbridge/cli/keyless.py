"""Options for signing and verifying by Sigstore instead of by a key, and what the attest command does with them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from weighbridge.attest.trust import TrustedKeys
    from weighbridge.vault.attested import Attested

Rest = ParamSpec("Rest")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Keyless:
    """What was said of keyless signatures; texts are "" where nothing was."""

    sign: bool
    token_file: str
    identity: str
    issuer: str
    trusted_root: str

    def check(self, *, verifying: bool, output: bool) -> None:
        """Returns when the options fit together.

        Raises:
            click.UsageError: they do not.
        """
        if self.sign and (verifying or not output):
            raise click.UsageError("--keyless goes with --output: bundles are not kept with the revision")
        if self.token_file and not self.sign:
            raise click.UsageError("--identity-token goes with --keyless")
        if bool(self.identity) != bool(self.issuer) or ((self.identity or self.trusted_root) and not verifying):
            raise click.UsageError("--identity and --issuer go together, and with --verify")

    def write(self, folder: Path, made: Iterable[Attested]) -> list[Path]:
        """Signs what the attestations say once more, by Sigstore, into a folder.

        Raises:
            ConfigError, Unreachable, SignatureInvalid: see `attest.keyless.sign_keyless`.
            StoreError: the folder cannot be written to.
        """
        from weighbridge.attest.keyless import sign_keyless
        from weighbridge.attest.statement import unverified

        written = []
        for one in made:
            bundle = sign_keyless(unverified(one.envelope)[1], token_file=self.token_file)
            path = folder / f"{Path(one.record).name.removesuffix('.dsse.json')}.sigstore.json"
            try:
                path.write_bytes(bundle)
            except OSError as error:
                raise StoreError(f"'{path}' cannot be written: {error.strerror}") from error
            written.append(path)
        return written

    def opened(self, data: bytes, keys: TrustedKeys) -> tuple[bytes, TrustedKeys]:
        """The envelope in a file, and the keys that count for it: of a bundle, the one of the identity that was named.

        Raises:
            ConfigError: it is a bundle and no identity was named, or the other way round.
            SignatureInvalid, Unreachable: see `attest.keyless.open_bundle`.
        """
        from weighbridge.attest.keyless import Identity, is_bundle, open_bundle

        bundle = is_bundle(data)
        if bundle != bool(self.identity):
            raise ConfigError(
                "this is a Sigstore bundle" if bundle else "this is no Sigstore bundle",
                hint="Say who must have signed it: --identity and --issuer."
                if bundle
                else "It is verified by the trusted keys: leave out --identity and --issuer.",
            )
        if not bundle:
            return data, keys
        return open_bundle(data, Identity(self.identity, self.issuer), trusted_root=self.trusted_root)


def keyless_options(command: Callable[Rest, Result]) -> Callable[Rest, Result]:
    """Adds the options; the command gets them as `keyless`."""

    @click.option("--keyless", "sign", is_flag=True, help="Sign by Sigstore as well (with --output; made public).")
    @click.option("--identity-token", "token_file", default="", metavar="FILE", help="With --keyless: who signs.")
    @click.option("--identity", default="", metavar="NAME", help="With --verify: who must have signed a bundle.")
    @click.option("--issuer", default="", metavar="URL", help="With --verify: who must have vouched for NAME.")
    @click.option(
        "--trusted-root", default="", metavar="FILE", help="With --verify: a Sigstore's root, for offline use."
    )
    @functools.wraps(command)
    def with_keyless(*args: Rest.args, **kwargs: Rest.kwargs) -> Result:
        texts = {name: str(kwargs.pop(name)) for name in ("token_file", "identity", "issuer", "trusted_root")}
        kwargs["keyless"] = Keyless(bool(kwargs.pop("sign")), **texts)
        return command(*args, **kwargs)

    return with_keyless
