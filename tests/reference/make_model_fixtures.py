#!/usr/bin/env python3
"""make_model_fixtures.py - tiny random GPT-NeoX checkpoints and their logits by transformers.

    python3 make_model_fixtures.py OUTDIR [--demo DEMODIR] [--only-demo]

Needs the Python packages torch, transformers, tokenizers and safetensors. Each folder
OUTDIR/<name>/ is a checkpoint as GPTNeoXForCausalLM.save_pretrained writes it (some are then given
the look of older files), with two references beside it, little-endian and without a header:

    tokens.i32   int32    [n_tokens]          one sequence of token ids
    logits.f32   float32  [n_tokens][vocab]   of the checkpoint on disk, its weights widened to fp32

OUTDIR/demo-* are references of the same kind for the bundled demo model; manifest.txt lists
everything.
"""
import argparse
import json
import pathlib
import zlib

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

N_TOKENS = 24
DEMO = pathlib.Path(__file__).resolve().parents[2] / "models" / "gptneox" / "demo"
DEMO_TOKENS, DEMO_ROWS, GREEDY_TOKENS = 48, 8, 32
GREEDY_PROMPTS = ("And God said", "O give thanks", "Verily, verily, I say")
MARGIN = 0.05  # between the two best logits: a pinned greedy text has to survive rounding

# name, what it covers, configuration (over BASE), type on disk
BASE = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 96, "hidden_act": "gelu", "use_parallel_residual": True,
    "attention_bias": True, "tie_word_embeddings": False, "max_position_embeddings": 64,
    "bos_token_id": 0, "eos_token_id": 0,
}
CASES = [
    ("parallel-f32", "parallel residual, head size 32, gelu (erf), F32",
     {"hidden_size": 64, "intermediate_size": 128}, torch.float32),
    ("sequential-head80-f16", "sequential residual, head size 80, rotary on all of it, F16",
     {"hidden_size": 160, "use_parallel_residual": False, "pct": 1.0}, torch.float16),
    ("head96-bf16", "head size 96 (rotary 24), gelu_fast, BF16",
     {"hidden_size": 192, "hidden_act": "gelu_fast"}, torch.bfloat16),
    ("head64-pct35-f16", "head size 64, rotary int(64 * 0.35) = 22, gelu_pytorch_tanh, F16",
     {"hidden_size": 128, "hidden_act": "gelu_pytorch_tanh", "pct": 0.35}, torch.float16),
    ("head50-pct58-f16", "head size 50, rotary int(50 * 0.58) = 28 (29 if rounded), relu, F16",
     {"hidden_size": 100, "hidden_act": "relu", "pct": 0.58, "vocab_size": 97}, torch.float16),
    ("tied-silu-bf16", "tied embeddings: no embed_out in the file; silu, BF16",
     {"tie_word_embeddings": True, "hidden_act": "silu"}, torch.bfloat16),
    ("nobias-f16", "attention_bias = false, sequential residual, gelu_new, F16",
     {"attention_bias": False, "use_parallel_residual": False, "hidden_act": "gelu_new"},
     torch.float16),
    ("sharded-f32", "several shards with an index, relu, layer_norm_eps 1e-3, F32",
     {"hidden_act": "relu", "layer_norm_eps": 1e-3}, torch.float32),
    ("legacy-f16", "old file: mask and inv_freq buffers, rotary_pct / rotary_emb_base 500, F16",
     {"pct": 0.5, "base": 500.0}, torch.float16),
    ("unprefixed-f16", "tensor names without the `gpt_neox.` prefix, F16",
     {"vocab_size": 101}, torch.float16),
    ("rope-linear-v4-f16", "old key rope_scaling {type: linear, factor: 2}, F16",
     {"pct": 0.5, "factor": 2.0}, torch.float16),
    ("rope-linear-v5-f16", "rope_parameters {rope_type: linear, factor: 4}, sequential, F16",
     {"pct": 1.0, "factor": 4.0, "use_parallel_residual": False}, torch.float16),
    ("mixed-types", "F16 matrices, BF16 embeddings, F32 vectors in one file, 3 layers",
     {"num_hidden_layers": 3}, torch.float32),
]


def make_config(settings):
    settings = {**BASE, **settings}
    rope = {"rope_type": "default", "rope_theta": settings.pop("base", 10000.0),
            "partial_rotary_factor": settings.pop("pct", 0.25)}
    if "factor" in settings:
        rope |= {"rope_type": "linear", "factor": settings.pop("factor")}
    return GPTNeoXConfig(**settings, rope_parameters=rope)


@torch.no_grad()
def randomise(model):
    """Weights large enough that attention is sharp, biases and norms matter, and logits spread."""
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.weight.normal_(1.0, 0.3)
            module.bias.normal_(0.0, 0.2)
        elif isinstance(module, torch.nn.Linear) and module not in tables:
            module.weight.normal_(0.0, 1.5 * module.in_features ** -0.5)
            if module.bias is not None:
                module.bias.normal_(0.0, 0.2)
    for table in tables:  # the same tensor twice where they are tied
        table.weight.normal_(0.0, 2.0 * model.config.hidden_size ** -0.5)


# ---- the looks of older files --------------------------------------------------------------------


def edit_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = change(load_file(path))
    save_file({name: t.contiguous() for name, t in tensors.items()}, path, {"format": "pt"})


def edit_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def old_keys(config):
    """The rotary keys as transformers 4 wrote them."""
    rope = config.pop("rope_parameters")
    config["rotary_pct"] = rope["partial_rotary_factor"]
    config["rotary_emb_base"] = int(rope["rope_theta"])
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.30.0"
    if rope["rope_type"] == "linear":
        config["rope_scaling"] = {"type": "linear", "factor": rope["factor"]}


def with_buffers(config):
    """The buffers that old files carry; the mask was U8 before it was BOOL."""
    size, head = config.max_position_embeddings, config.hidden_size // config.num_attention_heads
    rot = int(head * config.rope_parameters["partial_rotary_factor"])
    base = config.rope_parameters["rope_theta"]
    mask = torch.tril(torch.ones(size, size, dtype=torch.bool))[None, None]

    def change(tensors):
        for n in range(config.num_hidden_layers):
            prefix = f"gpt_neox.layers.{n}.attention."
            tensors[prefix + "bias"] = mask if n else mask.to(torch.uint8)
            tensors[prefix + "masked_bias"] = torch.tensor(-1e9)
            tensors[prefix + "rotary_emb.inv_freq"] = base ** (-torch.arange(0, rot, 2) / rot)
        return tensors
    return change


def mixed_types(tensors):
    def type_of(name, tensor):
        if tensor.ndim == 1:
            return torch.float32
        return torch.bfloat16 if "embed" in name else torch.float16
    return {name: tensor.to(type_of(name, tensor)) for name, tensor in tensors.items()}


def restyle(name, folder, config):
    if name in ("legacy-f16", "rope-linear-v4-f16"):
        edit_config(folder, old_keys)
    if name == "legacy-f16":
        edit_tensors(folder, with_buffers(config))
    if name == "unprefixed-f16":
        edit_tensors(folder, lambda ts: {n.removeprefix("gpt_neox."): t for n, t in ts.items()})
    if name == "mixed-types":
        edit_tensors(folder, mixed_types)


# ---- references ----------------------------------------------------------------------------------


def load(folder):
    model, info = GPTNeoXForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], (folder, info)
    return model.eval()


@torch.no_grad()
def logits_of(model, ids):
    return model(input_ids=ids[None].long(), use_cache=False).logits[0]


def write(path, tensor, dtype):
    path.write_bytes(tensor.contiguous().numpy().astype(dtype).tobytes())


def make_case(out, name, settings, dtype):
    torch.manual_seed(zlib.crc32(name.encode()))
    folder = out / name
    config = make_config(settings)
    model = GPTNeoXForCausalLM._from_config(config, attn_implementation="eager").eval()
    randomise(model)
    model.to(dtype).save_pretrained(folder, max_shard_size="40KB" if "sharded" in name else "1GB")
    ids = torch.randint(0, config.vocab_size, (N_TOKENS,), dtype=torch.int32)
    as_saved = logits_of(load(folder), ids)
    restyle(name, folder, config)
    logits = logits_of(load(folder), ids)
    # An older look does not change what the model computes; narrower types do.
    assert torch.equal(logits, as_saved) == (name != "mixed-types"), name
    assert 1 < logits.std() < 5, (name, logits.std())
    write(folder / "tokens.i32", ids, "<i4")
    write(folder / "logits.f32", logits, "<f4")
    print(f"{name:24} logits std {logits.std():.2f}, largest {logits.abs().max():.1f}")


@torch.no_grad()
def greedy(model, ids, count):
    """The most likely continuation, and the smallest gap between the two best logits on the way."""
    ids, margin = list(ids), float("inf")
    for _ in range(count):
        best = logits_of(model, torch.tensor(ids))[-1].topk(2)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        ids.append(best.indices[0].item())
    return ids[-count:], margin


def make_demo(out, folder):
    model, tokenizer = load(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = (folder / "heldout.txt").read_text(encoding="utf-8")
    ids = torch.tensor(tokenizer.encode(text).ids[:DEMO_TOKENS], dtype=torch.int32)
    write(out / "demo-tokens.i32", ids, "<i4")
    write(out / "demo-logits.f32", logits_of(model, ids)[-DEMO_ROWS:], "<f4")
    blocks = []
    for prompt in GREEDY_PROMPTS:
        start = tokenizer.encode(prompt).ids
        new, margin = greedy(model, start, GREEDY_TOKENS)
        assert margin > MARGIN, f"{prompt!r}: the two best logits come within {margin:.3f}"
        blocks.append(f"prompt {prompt}\nprompt_ids {' '.join(map(str, start))}\n"
                      f"greedy_ids {' '.join(map(str, new))}\nsmallest_margin {margin:.3f}\n"
                      f"text {json.dumps(tokenizer.decode(new, skip_special_tokens=False))}\n")
    (out / "demo-greedy.txt").write_text("\n".join(blocks), encoding="utf-8")


def write_manifest(out):
    versions = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    lines = [f"# Made by make_model_fixtures.py with {versions}, on a CPU, in fp32.",
             "# One checkpoint folder a line and what it covers; each has tokens.i32, logits.f32."]
    lines += [f"{name:24}# {covers}" for name, covers, _, _ in CASES]
    lines += ["",
              f"# demo-tokens.i32: the first {DEMO_TOKENS} tokens of the demo model's heldout.txt;",
              f"# demo-logits.f32: the logits of their last {DEMO_ROWS} positions only;",
              "# demo-greedy.txt: prompts, their ids and the greedy continuation, with the",
              "# smallest gap between the two best logits on the way (enough to pin the text)."]
    (out / "manifest.txt").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--demo", type=pathlib.Path, default=DEMO, help="folder of the demo model")
    parser.add_argument("--only-demo", action="store_true", help="leave the checkpoints alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.only_demo:
        for name, _, settings, dtype in CASES:
            make_case(args.out, name, settings, dtype)
        write_manifest(args.out)
    make_demo(args.out, args.demo)


if __name__ == "__main__":
    main()
