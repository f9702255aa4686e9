"""How images are pulled, as the options say."""

from __future__ import annotations

from pathlib import Path

from hyperkube_core import SettingsError
from hyperkube_kubelet.images.providerconfig import Provider, check_programs, read_providers
from hyperkube_kubelet.images.pullrecords import Verification
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.pods.pulls import PullRules

__all__ = ["pulls_of"]


def pulls_of(options: Options) -> PullRules:
    """Raises SettingsError, which names the flag."""
    try:
        verification = Verification(
            options.image_pull_credentials_verification_policy, options.preloaded_images_verification_allowlist
        )
    except ValueError as exc:
        name = "preloaded-images-verification-allowlist"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc
    return PullRules(
        at_a_time=1 if options.serialize_image_pulls else options.max_parallel_image_pulls,
        qps=options.registry_qps,
        burst=options.registry_burst,
        verification=verification,
        providers=_providers(options),
        provider_folder=options.image_credential_provider_bin_dir or Path(),
    )


def _providers(options: Options) -> tuple[Provider, ...]:
    config, folder = options.image_credential_provider_config, options.image_credential_provider_bin_dir
    if config is None and folder is None:
        return ()
    given, missing = "image-credential-provider-bin-dir", "image-credential-provider-config"
    if config is None or folder is None:
        if folder is None:
            given, missing = missing, given
        raise SettingsError(missing, f"flag --{missing}", f"must be given together with --{given}")
    try:
        found = read_providers(config)
        check_programs(found, folder)
    except (ValueError, OSError) as exc:
        raise SettingsError(missing, f"flag --{missing}", str(exc)) from exc
    return tuple(found)
