"""Judges the JSON files whose place and form give their entries a meaning: pipelines, module lists, shard indexes.

- `model_index.json` (diffusers): each component is `[library, class]`; a library that is no library is a module of the
  repository. diffusers skipped components whose library is no text when it looked for code (its issue 13446).
- `modules.json` (sentence-transformers): each `type` is imported.
- `*.index.json`: `weight_map` names the file of each tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from weighbridge.formats.json_text import Json
from weighbridge.inspectors.texts.config_keys import Said, module_type, reference, shown
from weighbridge.inspectors.texts.config_paths import escape, is_absolute
from weighbridge.inspectors.texts.config_references import is_dangerous, is_of_library

MAX_SHARDS: Final = 40_000
"""Files of one index that are named to the repository."""

_PIPELINE_MODULES_NAMES = """
ace_step allegro alt_diffusion amused animatediff anyflow audio_diffusion audioldm audioldm2 aura_flow
blip_diffusion bria bria_fibo bria_fibo2 chroma chronoedit cogvideo cogview3 cogview4 consisid consistency_models
controlnet controlnet_hunyuandit controlnet_sd3 controlnet_xs cosmos dance_diffusion ddim ddpm deepfloyd_if
diffusion_gemma dit dreamlite easyanimate ernie_image flux flux2 glm_image helios hidream_image hunyuan_image
hunyuan_video hunyuan_video1_5 hunyuandit i2vgen_xl ideogram4 joyimage kandinsky kandinsky2_2 kandinsky3 kandinsky5
kandinsky6 kolors krea2 latent_consistency_models latent_diffusion latent_diffusion_uncond latte ledits_pp llada2
longcat_audio_dit longcat_image ltx ltx2 lucy lumina lumina2 marigold mochi motif_video musicldm nucleusmoe_image
omnigen onnx_utils ovis_image pag paint_by_example pia pixart_alpha pndm prx qwenimage qwenimage21 repaint
rfd4_proteina sana sana_video sana_wm score_sde_ve semantic_stable_diffusion shap_e skyreels_v2
spectrogram_diffusion stable_audio stable_audio_3 stable_cascade stable_diffusion stable_diffusion_3
stable_diffusion_attend_and_excite stable_diffusion_diffedit stable_diffusion_gligen stable_diffusion_ldm3d
stable_diffusion_panorama stable_diffusion_safe stable_diffusion_sag stable_diffusion_variants stable_diffusion_xl
stable_video_diffusion stochastic_karras_ve t2i_adapter text_to_video_synthesis unclip unidiffuser
versatile_diffusion visualcloze vq_diffusion wan wuerstchen z_image
"""
_PIPELINE_MODULES: Final = frozenset(_PIPELINE_MODULES_NAMES.split())
"""Modules of diffusers' own pipelines, which stand where a library's name stands."""


def is_pipeline(value: Json, name: str) -> bool:
    """Whether it is a diffusers pipeline: by the name of the file, or by the class it names."""
    if not isinstance(value, dict) or "_class_name" not in value:
        return False
    kind = value["_class_name"]
    return (
        name in ("model_index.json", "modular_model_index.json")
        or not isinstance(kind, str)
        or kind.endswith(("Pipeline", "Blocks"))
    )


def pipeline(value: Json) -> Iterator[tuple[str, Said]]:
    """What there is to say of a pipeline, with its location."""
    if not isinstance(value, dict):
        return
    for key, one in value.items():
        if not isinstance(one, list) or (key.startswith("_") and key != "_class_name"):
            continue
        # Modular pipelines add where the component is loaded from.
        library, name, *more = [*one, None, None][: max(2, len(one))]
        if len(more) > 1 or (more and not isinstance(more[0], dict)) or (library is None and name is None and not more):
            continue
        # Other lists are settings, such as a range of numbers.
        if all(isinstance(part, (int, float)) for part in one):
            continue
        for said in _component(key, library, name):
            yield key, said
        hint = more[0].get("type_hint") if more and isinstance(more[0], dict) else None
        if isinstance(hint, list) and len(hint) == 2 and hint != [None, None]:
            yield from ((f"{key}.type_hint", said) for said in _component(key, hint[0], hint[1]))


def _component(key: str, library: Json, name: Json) -> Iterator[Said]:
    what = f"the component {shown(key)}"
    if library is None and name is None:
        return
    if not isinstance(library, str) or not isinstance(name, str):
        yield Said("code-reference-escape", f"{what} is of {shown(library)}, which is no library's name")
    elif key == "_class_name":
        yield from reference(f"{library}.{name}", "the pipeline")
    elif is_dangerous(library) or is_dangerous(f"{library}.{name}"):
        yield Said("dangerous-callable", f"{what} is {shown(f'{library}.{name}')}")
    elif not (is_of_library(library) or library in _PIPELINE_MODULES):
        found = list(reference(f"{library}.{name}", what))
        for said in found:
            yield Said("", f"{key}/{said.message}", said.fact) if said.fact == "code-reference" else said


def is_module_list(value: Json) -> bool:
    """Whether it is a `modules.json` of sentence-transformers."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "type" in one and ("path" in one or "idx" in one) for one in value)
    )


def module_list(value: Json) -> Iterator[tuple[str, Said]]:
    """What there is to say of a list of modules, with its location."""
    for number, one in enumerate(value if isinstance(value, list) else []):
        if isinstance(one, dict):
            for said in _module(one):
                yield f"[{number}]", said


def _module(module: dict[str, Json]) -> Iterator[Said]:
    kind, path = module.get("type"), module.get("path", "")
    if not isinstance(kind, str):
        yield Said("code-reference-escape", f"the type of a module is {shown(kind)}")
    else:
        yield from module_type(kind, "the type of a module")
    if not isinstance(path, str) or escape(path) or is_absolute(path):
        yield Said("path-escape", f"the path of a module is {shown(path)}")


def shard_index(value: Json) -> Iterator[tuple[str, Said]]:
    """What there is to say of a `weight_map`: each file it names, once."""
    if not isinstance(value, dict):
        yield "weight_map", Said("index-malformed", f"weight_map is not an object: {shown(value)}")
        return
    odd = [one for one in value.values() if not isinstance(one, str)]
    if odd:
        yield "weight_map", Said("index-malformed", f"{len(odd)} tensors have no file but {shown(odd[0])}")
    names = dict.fromkeys(one for one in value.values() if isinstance(one, str))
    for number, name in enumerate(names):
        reason = escape(name) or ("is an absolute path" if is_absolute(name) else "")
        if not name:
            yield "weight_map", Said("index-malformed", "a tensor's file has no name")
        elif reason:
            yield "weight_map", Said("index-escape", f"the index names {shown(name)}, which {reason}")
        elif number < MAX_SHARDS:
            yield "weight_map", Said("", name, fact="shard")
        else:
            yield "weight_map", Said("index-malformed", f"the index names more than {MAX_SHARDS} files")
            return
