"""Ordinary files of model repositories, in the shape their tools write them: nothing is to be said of any."""

from __future__ import annotations

import json

from tests.support.config_corpus import LLAMA, dump

_TOKEN = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


def _added(*tokens: tuple[int, str, bool]) -> dict[str, object]:
    return {str(number): {"content": text, **_TOKEN, "special": special} for number, text, special in tokens}


def _quantised(**method: object) -> bytes:
    return dump({**LLAMA, "quantization_config": method})


def _pipeline(name: str, **components: object) -> bytes:
    return dump({"_class_name": name, "_diffusers_version": "0.30.0", **components})


QWEN_TOKENS = [
    (151643, "<|endoftext|>", True), (151644, "<|im_start|>", True), (151645, "<|im_end|>", True),
    (151646, "<|object_ref_start|>", True), (151648, "<|box_start|>", True), (151657, "<tool_call>", False),
    (151658, "</tool_call>", False), (151659, "<|fim_prefix|>", False), (151663, "<|repo_name|>", False),
    (151667, "<think>", False), (151668, "</think>", False),
]  # fmt: skip

CONFIGS: dict[str, bytes] = {
    "config.json": dump(LLAMA),
    "gemma/config.json": dump({"_name_or_path": "/mnt/disks/gcs-pd/hf/gemma-2", "_attn_implementation": "eager", "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0, "architectures": ["Gemma2ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh", "hidden_act": "gelu_pytorch_tanh", "torch_dtype": "bfloat16"}),
    "mamba/config.json": b'{"time_step_limit": [0.0, Infinity], "time_step_min": 0.001, "conv_kernel": 4, "use_mambapy": false, "residual_in_fp32": true}',
    "falcon_mamba/config.json": b'{"time_step_limit": [0.0, {"__float__": "Infinity"}], "dtype": "bfloat16"}',
    "attention/config.json": dump({**LLAMA, "_attn_implementation": "flash_attention_2", "attn_config": {"attn_impl": "torch", "attn_type": "multihead_attention"}, "_attn_implementation_autoset": True}),
    "paged/config.json": dump({**LLAMA, "attn_implementation": "paged|sdpa", "use_kernels": False}),
    "xlstm/config.json": dump({"chunkwise_kernel": "chunkwise--native_autograd", "sequence_kernel": "native_sequence__native", "step_kernel": "native", "autocast_kernel_dtype": "bfloat16"}),
    "lightglue/config.json": dump({"trust_remote_code": False, "keypoint_detector_config": {"model_type": "superpoint", "_attn_implementation": None}, "auto_map": None}),
    "llava/config.json": dump({"mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_projector_type": "mlp2x_gelu", "image_aspect_ratio": "anyres", "tune_mm_mlp_adapter": False, "_name_or_path": "./checkpoints/vicuna-7b"}),
    "bert/config.json": dump({"architectures": ["BertForMaskedLM"], "gradient_checkpointing": False, "position_embedding_type": "absolute", "classifier_dropout": None, "id2label": {"0": "NEGATIVE", "1": "POSITIVE"}, "label2id": {"NEGATIVE": 0, "POSITIVE": 1}, "task_specific_params": {"summarization": {"prefix": "summarize: "}}}),
    "cross/config.json": dump({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity", "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid", "version": "4.1.0.dev0"}}),
    "wav2vec2/config.json": dump({"conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "feat_extract_norm": "group", "ctc_loss_reduction": "sum", "layerdrop": 0.1, "torch_dtype": "float32"}),
    "fairseq.json": dump({"conv_feature_layers": "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] + [(512,2,2)]", "extractor_mode": "default"}),
    "timm/config.json": dump({"architecture": "vit_base_patch16_224", "num_classes": 1000, "pretrained_cfg": {"url": "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1/x.pth", "tag": "augreg", "custom_load": True, "input_size": [3, 224, 224], "classifier": "head", "first_conv": "patch_embed.proj", "license": "apache-2.0", "paper_ids": "arXiv:2010.11929", "origin_url": "https://github.com/google-research/vision_transformer", "interpolation": "bicubic"}}),
    "open_clip_config.json": dump({"model_cfg": {"embed_dim": 512, "text_cfg": {"hf_model_name": "roberta-base", "hf_tokenizer_name": "roberta-base", "pooler_type": "mean_pooler"}, "vision_cfg": {"timm_model_name": "vit_base"}}, "preprocess_cfg": {"mean": [0.48], "interpolation": "bicubic"}}),
    "mlx/config.json": dump({**LLAMA, "quantization": {"group_size": 64, "bits": 4, "mode": "affine", "model.layers.0.mlp.gate": {"group_size": 64, "bits": 8}}}),
    "gptq/config.json": _quantised(quant_method="gptq", bits=4, group_size=128, desc_act=False, damp_percent=0.01, static_groups=False, model_file_base_name="model", model_name_or_path=None, use_exllama=True, checkpoint_format="gptq", meta={"quantizer": ["gptqmodel:1.4.5"], "uri": "https://github.com/modelcloud/gptqmodel"}),
    "awq/config.json": _quantised(quant_method="awq", bits=4, group_size=128, version="gemm", zero_point=True, modules_to_not_convert=None),
    "bnb/config.json": _quantised(quant_method="bitsandbytes", load_in_4bit=True, _load_in_4bit=True, bnb_4bit_compute_dtype="bfloat16", bnb_4bit_quant_type="nf4", bnb_4bit_quant_storage="uint8", llm_int8_skip_modules=["lm_head"]),
    "fp8/config.json": _quantised(quant_method="fp8", activation_scheme="dynamic", fmt="e4m3", weight_block_size=[128, 128], ignored_layers=["re:.*lm_head"]),
    "compressed/config.json": _quantised(quant_method="compressed-tensors", format="float-quantized", ignore=["lm_head", "re:visual.*"], kv_cache_scheme=None, config_groups={"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "tensor", "observer": "minmax", "actorder": None}}}),
    "torchao/config.json": _quantised(quant_method="torchao", quant_type={"default": {"_type": "Int4WeightOnlyConfig", "_version": 1, "_data": {"group_size": 32, "layout": {"_type": "TensorCoreTiledLayout", "_data": {"inner_k_tiles": 8}}}}}),
    "modelopt/hf_quant_config.json": dump({"producer": {"name": "modelopt", "version": "0.23.0"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": ["lm_head", "model.layers.0.self_attn*"]}}),
    "quantize_config.json": dump({"bits": 4, "group_size": 128, "damp_percent": 0.1, "desc_act": True, "sym": True, "true_sequential": True, "model_name_or_path": None, "model_file_base_name": "gptq_model-4bit-128g"}),
    "generation_config.json": dump({"_from_model_config": True, "bos_token_id": 1, "eos_token_id": [2, 3], "do_sample": True, "temperature": 0.6, "top_p": 0.9, "transformers_version": "4.42.3", "suppress_tokens": [1, 2, 7], "forced_decoder_ids": [[1, None], [2, 50359]], "cache_implementation": "hybrid"}),
    "adapter_config.json": dump({"alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": "meta-llama/Llama-3.1-8B", "bias": "none", "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "layer_replication": None, "layers_pattern": None, "loftq_config": {}, "lora_alpha": 16, "lora_dropout": 0.0, "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": None, "peft_type": "LORA", "r": 16, "rank_pattern": {}, "revision": None, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "use_dora": False, "use_rslora": False}),
    "b/adapter_config.json": dump({"auto_mapping": {"base_model_class": "Qwen2VLForConditionalGeneration", "parent_library": "transformers.models.qwen2_vl.modeling_qwen2_vl"}, "base_model_name_or_path": "/workspace/models/qwen2-vl", "target_modules": "^(?!.*visual).*(?:q_proj|k_proj).*", "peft_type": "LORA"}),
    "c/adapter_config.json": dump({"base_model_name_or_path": "../models/base", "peft_type": "PROMPT_TUNING", "prompt_tuning_init": "TEXT", "prompt_tuning_init_text": "Classify if the tweet is a complaint", "tokenizer_name_or_path": "bigscience/bloomz-560m", "tokenizer_kwargs": None, "task_type": "CAUSAL_LM"}),
    "preprocessor_config.json": dump({"crop_size": {"height": 224, "width": 224}, "do_resize": True, "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor", "resample": 3, "rescale_factor": 0.00392156862745098}),
    "processor_config.json": dump({"image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": 14, "processor_class": "LlavaProcessor", "vision_feature_select_strategy": "default"}),
    "video_preprocessor_config.json": dump({"video_processor_type": "Qwen2VLVideoProcessor", "min_pixels": 3136, "temporal_patch_size": 2, "fps": None, "device": None, "input_data_format": None, "return_tensors": None}),
    "feature_extractor/preprocessor_config.json": dump({"chunk_length": 30, "dither": 0.0, "feature_size": 80, "mel_filters": [[0.0, 0.1], [0.2, 0.0]], "hop_length": 160, "feature_extractor_type": "WhisperFeatureExtractor"}),
    "scheduler/scheduler_config.json": dump({"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False, "prediction_type": "epsilon", "set_alpha_to_one": False, "timestep_spacing": "leading", "trained_betas": None}),
    "unet/config.json": dump({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.19.0.dev0", "_name_or_path": "../base/unet", "act_fn": "silu", "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640], "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "conv_in_kernel": 3, "mid_block_type": "UNetMidBlock2DCrossAttn", "upcast_attention": None}),
    "vae/config.json": dump({"_class_name": "AutoencoderKL", "_diffusers_version": "0.19.0", "_name_or_path": "madebyollin/sdxl-vae-fp16-fix", "force_upcast": False, "scaling_factor": 0.13025, "latents_mean": [-0.1, 0.2], "latents_std": [1.0, 1.1]}),
    "sd/model_index.json": _pipeline("StableDiffusionPipeline", feature_extractor=["transformers", "CLIPImageProcessor"], safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"], scheduler=["diffusers", "PNDMScheduler"], text_encoder=["transformers", "CLIPTextModel"], tokenizer=["transformers", "CLIPTokenizer"], unet=["diffusers", "UNet2DConditionModel"], vae=["diffusers", "AutoencoderKL"], requires_safety_checker=True),
    "sdxl/model_index.json": _pipeline("StableDiffusionXLPipeline", force_zeros_for_empty_prompt=True, add_watermarker=None, image_encoder=[None, None], text_encoder_2=["transformers", "CLIPTextModelWithProjection"]),
    "flux/model_index.json": _pipeline("FluxPipeline", scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"], text_encoder_2=["transformers", "T5EncoderModel"], tokenizer_2=["transformers", "T5TokenizerFast"], transformer=["diffusers", "FluxTransformer2DModel"]),
    "kandinsky/model_index.json": _pipeline("KandinskyPipeline", text_encoder=["kandinsky", "MultilingualCLIP"], movq=["diffusers", "VQModel"]),
    "wuerstchen/model_index.json": _pipeline("WuerstchenDecoderPipeline", decoder=["wuerstchen", "WuerstchenDiffNeXt"], latent_dim_scale=10.67),
    "onnx/model_index.json": _pipeline("OnnxStableDiffusionPipeline", unet=["diffusers", "OnnxRuntimeModel"], safety_checker=[None, None]),
    "modular_model_index.json": dump({"_class_name": "ModularPipeline", "_blocks_class_name": "SDXLAutoBlocks", "unet": [None, None, {"repo": "stabilityai/sdxl", "subfolder": "unet", "type_hint": ["diffusers", "UNet2DConditionModel"], "variant": None}], "vae": ["diffusers", "AutoencoderKL", {"repo": "a/b"}]}),
    "ltx/model_index.json": _pipeline("LTXPipeline", vae=["diffusers", "AutoencoderKLLTXVideo"], spatial=[1, 2]),
    "modules.json": dump([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}, {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]),
    "st5/modules.json": dump([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}, {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"}]),
    "1_Pooling/config.json": dump({"word_embedding_dimension": 384, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "include_prompt": True}),
    "2_Dense/config.json": dump({"in_features": 768, "out_features": 512, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}),
    "sentence_bert_config.json": dump({"max_seq_length": 256, "do_lower_case": False}),
    "st5/sentence_bert_config.json": dump({"transformer_task": "feature-extraction", "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}, "module_output_name": "token_embeddings", "unpad_inputs": None}),
    "config_sentence_transformers.json": dump({"__version__": {"sentence_transformers": "3.1.0.dev0", "transformers": "4.41.2", "pytorch": "2.3.1+cu121"}, "prompts": {"query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"}, "default_prompt_name": None, "similarity_fn_name": "cosine", "model_type": "SentenceTransformer"}),
    "params.json": dump({"dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "norm_eps": 1e-05, "vocab_size": 32768, "moe": {"num_experts_per_tok": 2}}),
    "trainer_state.json": b'{"best_metric": null, "best_model_checkpoint": "/output/checkpoint-500", "epoch": 3.0, "log_history": [{"epoch": 0.1, "grad_norm": NaN, "learning_rate": 2e-05, "loss": 1.2, "step": 10}], "stateful_callbacks": {"TrainerControl": {"args": {"should_log": false}, "attributes": {}}}, "trial_params": null}',
    "all_results.json": dump({"epoch": 3.0, "eval_accuracy": 0.9, "eval_runtime": 12.3, "total_flos": 1e18}),
    "results_2024-01-01.json": dump({"results": {"arc": {"acc,none": 0.5}}, "configs": {"arc": {"doc_to_text": "Question: {{question}}\nAnswer:", "process_docs": "def process_docs(dataset):\n    import os\n    return dataset.map(eval(x))", "metadata": {"version": 1.0}}}}),
    "dataset_infos.json": dump({"default": {"description": "A dataset", "citation": "@misc{x}", "homepage": "https://example.org/data", "features": {"text": {"dtype": "string", "_type": "Value"}}, "download_checksums": {"https://example.org/data.zip": {"num_bytes": 1}}}}),
    "vocab.json": json.dumps({**{f"tok{n}": n for n in range(300)}, "eval": 300, "exec(": 301, "auto_map": 302, "trust_remote_code": 1, "\u200b": 303}).encode(),
    "model.safetensors.index.json": dump({"metadata": {"total_size": 16060522496, "total_parameters": 8030261248}, "weight_map": {"lm_head.weight": "model-00004-of-00004.safetensors", "model.embed_tokens.weight": "model-00001-of-00004.safetensors"}}),
    "chat_template.json": dump({"chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}"}),
    "tool_config.json": dump({"description": "A tool that says hello.", "name": "hello", "inputs": {"text": {"type": "string"}}}),
    "crisper/alignment.json": dump({"alignment_heads": [[7, 0], [10, 17]], "lang_to_id": {"<|en|>": 50259}, "task_to_id": {"transcribe": 50359}}),
    "piper.onnx.json": dump({"audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "phoneme_id_map": {"a": [14], "\u0303": [141], "|": [0]}, "inference": {"noise_scale": 0.667}, "language": {"code": "en_US"}}),
    "label_map.json": dump({str(n): f"class {n}" for n in range(400)}),
    "data.jsonl": b'{"prompt": "Write eval(x) in Python", "completion": "import os"}\n\n{"prompt": "x", "completion": "y"}\n',
    "empty.json": b"{}",
    "numbers.json": b"[1, 2.5, -3e10, null, true]",
    "spaces.json": b'\n  {"a": 1}\n\n',
}  # fmt: skip

TOKENIZERS: dict[str, bytes] = {
    "llama3/tokenizer_config.json": dump({"added_tokens_decoder": _added((128000, "<|begin_of_text|>", True), (128001, "<|end_of_text|>", True), (128002, "<|reserved_special_token_0|>", True), (128006, "<|start_header_id|>", True), (128009, "<|eot_id|>", True)), "bos_token": "<|begin_of_text|>", "clean_up_tokenization_spaces": True, "eos_token": "<|eot_id|>", "model_input_names": ["input_ids", "attention_mask"], "model_max_length": 131072, "tokenizer_class": "PreTrainedTokenizerFast"}),
    "qwen/tokenizer_config.json": dump({"add_prefix_space": False, "added_tokens_decoder": _added(*QWEN_TOKENS), "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": None, "eos_token": "<|im_end|>", "errors": "replace", "pad_token": "<|endoftext|>", "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}),
    "mistral/tokenizer_config.json": dump({"add_bos_token": True, "added_tokens_decoder": _added((0, "<unk>", True), (1, "<s>", True), (2, "</s>", True), (3, "[INST]", True), (4, "[/INST]", True), (5, "[TOOL_CALLS]", True)), "legacy": False, "sp_model_kwargs": {}, "spaces_between_special_tokens": False, "tokenizer_class": "LlamaTokenizer", "use_default_system_prompt": False}),
    "bert/tokenizer_config.json": dump({"added_tokens_decoder": _added((0, "[PAD]", True), (100, "[UNK]", True), (101, "[CLS]", True), (102, "[SEP]", True), (103, "[MASK]", True)), "do_lower_case": True, "mask_token": "[MASK]", "name_or_path": "bert-base-uncased", "never_split": None, "special_tokens_map_file": "/data/.cache/huggingface/transformers/x.y", "strip_accents": None, "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer"}),
    "gpt2/tokenizer_config.json": dump({"add_bos_token": False, "bos_token": {"__type": "AddedToken", "content": "<|endoftext|>", **_TOKEN}, "model_max_length": 1024, "tokenizer_class": "GPT2Tokenizer", "tokenizer_file": None}),
    "nllb/tokenizer_config.json": dump({"additional_special_tokens": ["ace_Arab", "eng_Latn", "zho_Hans"], "src_lang": None, "tokenizer_class": "NllbTokenizer", "sp_model_kwargs": {}}),
    "mbart/tokenizer_config.json": dump({"additional_special_tokens": ["ar_AR", "en_XX"], "mask_token": {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False, "single_word": False}, "language_codes": "ML50"}),
    "whisper/tokenizer_config.json": dump({"added_tokens_decoder": _added((50257, "<|endoftext|>", True), (50259, "<|en|>", True), (50364, "<|0.00|>", False)), "processor_class": "WhisperProcessor", "return_attention_mask": False}),
    "clip/tokenizer_config.json": dump({"added_tokens_decoder": _added((0, "!", True), (49406, "<|startoftext|>", True)), "pad_token": "!", "do_lower_case": True, "errors": "replace"}),
    "gemma/tokenizer_config.json": dump({"added_tokens_decoder": _added((0, "<pad>", True), (105, "<start_of_turn>", True), (108, "\n", False), (139, "▁▁", False), (168, "<table>", False)), "extra_special_tokens": {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>"}, "tokenizer_class": "GemmaTokenizer"}),
    "deepseek/tokenizer_config.json": dump({"added_tokens_decoder": _added((0, "<｜begin▁of▁sentence｜>", True), (128803, "<｜User｜>", False), (128804, "<｜Assistant｜>", False)), "legacy": True, "tokenizer_class": "LlamaTokenizerFast"}),
    "ctc/tokenizer_config.json": dump({"word_delimiter_token": "|", "replace_word_delimiter_char": " ", "unk_token": "[UNK]", "pad_token": "[PAD]", "target_lang": "eng", "do_lower_case": False}),
    "glm/tokenizer_config.json": dump({"added_tokens_decoder": _added((151329, "<|endoftext|>", True), (151331, "[gMASK]", True), (151333, "<sop>", True), (151335, "<|system|>", True), (151336, "<|user|>", True), (151338, "<|observation|>", True)), "do_lower_case": False, "padding_side": "left"}),
    "phi/tokenizer_config.json": dump({"added_tokens_decoder": _added((50256, "<|endoftext|>", True), (50257, " " * 31, False), (50294, "\t" * 2, False), (32000, "<|placeholder1|>", True))}),
    "special_tokens_map.json": dump({"bos_token": {"content": "<s>", **_TOKEN}, "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "[PAD]"}),
    "plain/special_tokens_map.json": dump({"unk_token": "UNK", "pad_token": "PAD", "additional_special_tokens": ["<extra_id_0>", "▁<extra_id_1>"]}),
    "added_tokens.json": dump({"<|im_end|>": 151645, "<|im_start|>": 151644, "<think>": 151667, "covid": 30522}),
}  # fmt: skip
