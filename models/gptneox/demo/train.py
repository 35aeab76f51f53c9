#!/usr/bin/env python3
"""train.py - makes the bundled demo model: corpus, tokenizer, training, export, figures.

    python3 train.py OUTDIR [--minutes 50] [--threads 2]

Needs Debian's `bible-kjv` program (the text), and the Python packages torch, transformers,
tokenizers and safetensors. OUTDIR receives the files of this folder. A model is exported there
every few minutes, so a run that is cut short still leaves a usable one; `--evaluate` only measures
the model in OUTDIR.
"""
import argparse
import json
import math
import pathlib
import random
import subprocess
import time

import torch
import torch.nn.functional as F
from tokenizers import (Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

END, PAD = "<|endoftext|>", "<|padding|>"
VOCAB, CONTEXT = 2048, 512
PROMPTS = ("And God said", "O give thanks", "Verily, verily, I say")
CHAPTERS = 1189  # of the whole book; anything else means that the extraction went wrong


# ---- corpus --------------------------------------------------------------------------------------


def read_chapters():
    """The King James Version, one string a chapter, one verse a line, no numbers or headings."""
    book = subprocess.run(["bible", "-l1000000", "gen1:1-rev22:21"], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="ascii").stdout
    chapters = []
    for line in book.splitlines():
        if line.startswith("  "):
            chapters[-1].append(line.strip().split(" ", 1)[1].strip())
        elif line.strip():
            chapters.append([])
    if len(chapters) != CHAPTERS or not all(chapters):
        raise ValueError(f"expected {CHAPTERS} chapters with text, found {len(chapters)}")
    return ["".join(verse + "\n" for verse in chapter) for chapter in chapters]


def split(chapters):
    """Whole chapters, by their place in the book: 1 in 32 held out, 1 in 96 for development."""
    held_out = [c for i, c in enumerate(chapters) if i % 32 == 15]
    dev = [c for i, c in enumerate(chapters) if i % 96 == 40]
    train = [c for i, c in enumerate(chapters) if i % 32 != 15 and i % 96 != 40]
    return train, dev, held_out


def as_text(chapters):
    return "".join(END + chapter for chapter in chapters)


# ---- tokenizer -----------------------------------------------------------------------------------


def train_tokenizer(chapters, out):
    """A byte-level BPE of the same form as GPT-NeoX-20B's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(chapters, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=[END, PAD], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    assert tokenizer.get_vocab_size() == VOCAB
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=PAD,
                            model_max_length=CONTEXT).save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    return tokenizer


# ---- model and optimizer -------------------------------------------------------------------------


def make_model(dropout):
    config = GPTNeoXConfig(
        vocab_size=VOCAB, hidden_size=256, num_hidden_layers=6, num_attention_heads=4,
        intermediate_size=1024, hidden_act="gelu", max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                         "partial_rotary_factor": 0.25},
        use_parallel_residual=True, attention_bias=True, tie_word_embeddings=False,
        hidden_dropout=dropout, attention_dropout=0.0, bos_token_id=0, eos_token_id=0)
    # Of the attention implementations, eager is the fastest here on a CPU.
    model = GPTNeoXForCausalLM._from_config(config, attn_implementation="eager")
    with torch.no_grad():  # the two layers that write into the residual stream start small
        for layer in model.gpt_neox.layers:
            layer.attention.dense.weight.mul_((2 * config.num_hidden_layers) ** -0.5)
            layer.mlp.dense_4h_to_h.weight.mul_((2 * config.num_hidden_layers) ** -0.5)
    return model


class Muon(torch.optim.Optimizer):
    """Momentum, its update orthogonalised by a Newton-Schulz iteration (Jordan et al., 2024)."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = self.orthogonalise(p.grad.lerp(state["momentum"], group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)

    @staticmethod
    def orthogonalise(g, steps=5):
        a, b, c = 3.4445, -4.7750, 2.0315
        x = (g.T if g.shape[0] > g.shape[1] else g).bfloat16()
        x = x / (x.norm() + 1e-7)
        for _ in range(steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x.T if g.shape[0] > g.shape[1] else x


def make_optimizers(model, args):
    """Muon for the matrices of the blocks, AdamW for embeddings, norms and biases."""
    matrices = [p for p in model.gpt_neox.layers.parameters() if p.ndim == 2]
    tables = [model.gpt_neox.embed_in.weight, model.get_output_embeddings().weight]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    return [Muon(matrices, lr=args.muon_lr, weight_decay=args.weight_decay),
            torch.optim.AdamW([{"params": tables, "weight_decay": args.weight_decay},
                               {"params": vectors, "weight_decay": 0.0}],
                              lr=args.adam_lr, betas=(0.9, 0.95))]


# ---- training ------------------------------------------------------------------------------------


def batches(documents, tokens, window, rng):
    """Endless [tokens / window, window + 1] batches; each pass shuffles chapters, moves borders."""
    size = tokens // window
    while True:
        order = rng.sample(documents, len(documents))
        stream = [token for document in order for token in document][rng.randrange(window):]
        windows = [stream[i:i + window + 1] for i in range(0, len(stream) - window, window)]
        rng.shuffle(windows)
        for i in range(0, len(windows) - size + 1, size):
            yield torch.tensor(windows[i:i + size])


def loss_of(model, batch, bf16):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())


def export(model, out):
    """The folder as transformers writes it, weights in F16; dropout belongs to training alone."""
    copy = GPTNeoXForCausalLM(GPTNeoXConfig(**{**model.config.to_dict(), "hidden_dropout": 0.0}))
    copy.load_state_dict(model.state_dict())
    copy.half().save_pretrained(out)


def train(model, tokenizer, train_set, dev_set, out, args):
    """Learning rates follow the clock, not a step count: up for 2 % of the time, level, then
    linearly to zero. Windows of half the context, which are cheaper, serve for 60 % of it."""
    rng = random.Random(args.seed)
    documents = [tokenizer.encode(END + c).ids for c in train_set]
    print(f"{sum(map(len, documents))} tokens to train on", flush=True)
    short = batches(documents, args.batch, CONTEXT // 2, rng)
    full = batches(documents, args.batch, CONTEXT, rng)
    optimizers = make_optimizers(model, args)
    peaks = [[g["lr"] for g in o.param_groups] for o in optimizers]
    started = exported = time.time()
    steps, mean = 0, None
    model.train()
    while (progress := (time.time() - started) / (60 * args.minutes)) < 1:
        factor = min(1, progress / 0.02, (1 - progress) / (1 - args.level))
        for optimizer, rates in zip(optimizers, peaks):
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * factor
        loss = loss_of(model, next(short if progress < 0.6 else full), args.bf16)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        steps += 1
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if steps % 200 == 0:
            print(f"step {steps}, {steps * args.batch} tokens, {time.time() - started:.0f} s, "
                  f"training loss {mean:.3f}, dev {evaluate(model, tokenizer, as_text(dev_set))}",
                  flush=True)
        if time.time() - exported > 60 * args.export_every:
            export(model, out)
            exported = time.time()
    export(model, out)
    print(f"{steps} steps, {steps * args.batch} tokens, {time.time() - started:.0f} s", flush=True)


# ---- figures -------------------------------------------------------------------------------------


@torch.no_grad()
def evaluate(model, tokenizer, text, stride=CONTEXT // 2):
    """Sliding window: every token but the first is scored once, with at least CONTEXT - `stride`
    tokens before it where the text has them. Separators are scored; bytes are the verses' alone."""
    was_training = model.training
    model.eval()
    ids = torch.tensor([tokenizer.encode(text).ids])
    total, scored = 0.0, 1
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + CONTEXT, ids.shape[1])
        logits = model(input_ids=ids[:, begin:end], use_cache=False).logits[0].float()
        fresh = end - scored  # tokens that no earlier window has scored
        total += F.cross_entropy(logits[-fresh - 1:-1], ids[0, scored:end], reduction="sum").item()
        scored = end
        if end == ids.shape[1]:
            break
    model.train(was_training)
    tokens, size = ids.shape[1] - 1, len(text.replace(END, "").encode())
    return {"bits_per_byte": round(total / math.log(2) / size, 4),
            "perplexity": round(math.exp(total / tokens), 3), "tokens": tokens, "bytes": size}


@torch.no_grad()
def generate(model, tokenizer, prompt, count, temperature=0.0, top_k=40, seed=1):
    """The continuation of a prompt, and the smallest gap between the two best logits on the way."""
    ids, margin = tokenizer.encode(prompt).ids, math.inf
    dice = torch.Generator().manual_seed(seed)
    for _ in range(count):
        logits = model(input_ids=torch.tensor([ids[-CONTEXT:]]), use_cache=False).logits
        best = logits[0, -1].topk(top_k)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        pick = 0
        if temperature:
            odds = F.softmax(best.values / temperature, -1)
            pick = torch.multinomial(odds, 1, generator=dice).item()
        ids.append(best.indices[pick].item())
    return tokenizer.decode(ids, skip_special_tokens=False), margin


def report(out, held_out):
    """Figures of the exported F16 model, computed in fp32."""
    model = GPTNeoXForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    print("held out:", json.dumps(evaluate(model, tokenizer, as_text(held_out))))
    for prompt in PROMPTS:
        text, margin = generate(model, tokenizer, prompt, 32)
        print(f"greedy, smallest margin {margin:.3f}: {text!r}")
    for seed in (1, 2):
        text, _ = generate(model, tokenizer, "And it came to pass", 100, temperature=0.8, seed=seed)
        print(f"sampled, seed {seed}: {text!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=6144, help="tokens a step")
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adam-lr", type=float, default=0.003)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.15)
    parser.add_argument("--level", type=float, default=0.3,
                        help="share of the time before the decay begins")
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16")
    parser.add_argument("--export-every", type=float, default=5, help="minutes")
    parser.add_argument("--evaluate", action="store_true", help="measure the model in OUTDIR only")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    args.out.mkdir(parents=True, exist_ok=True)
    train_set, dev_set, held_out = split(read_chapters())
    if not args.evaluate:
        (args.out / "heldout.txt").write_text(as_text(held_out), encoding="utf-8", newline="\n")
        tokenizer = train_tokenizer(train_set, args.out)
        train(make_model(args.dropout), tokenizer, train_set, dev_set, args.out, args)
    report(args.out, held_out)


if __name__ == "__main__":
    main()
