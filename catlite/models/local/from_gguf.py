"""Make the embedded model trainable: convert the GGUF to safetensors, once, in the user cache.

transformers reads llama.cpp's file, which takes some twenty seconds and 1.2 GB, so a child process does it. The result
(bfloat16, 269 MB) loads in a fraction of a second. Left out: GGUF files of other architectures.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from catlite import cache
from catlite.errors import EmbeddedModelError
from catlite.models.embedded import weights


def embedded_folder() -> Path:
    """The folder with the embedded model in the layout of transformers, made if it is not there yet.

    Raises EmbeddedModelError when the GGUF file cannot be downloaded or converted.
    """
    gguf = weights.find()
    target = cache.folder() / f"trainable-{cache.digest(gguf)[:16]}"
    if (target / "config.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"catlite: making the embedded model trainable, once (269 MB, kept in {target.parent})", file=sys.stderr)
    # Beside the target, so that the last step is a rename on one file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="convert-") as scratch:
        made = Path(scratch) / "model"
        command = [sys.executable, "-m", "catlite.models.local.from_gguf", str(gguf), str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = "\n".join(done.stderr.strip().splitlines()[-3:])
            raise EmbeddedModelError(f"{gguf} could not be made trainable: {reason}")
        try:
            made.rename(target)
        except OSError:
            if not (target / "config.json").is_file():  # else another process was faster, with the same result
                shutil.rmtree(target, ignore_errors=True)
                made.rename(target)
    return target


def convert(gguf: Path, folder: Path) -> None:
    """Write `gguf` as bfloat16 safetensors with its tokenizer into `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = read.config
    # The file was quantized, these weights are not; with that setting they could not be loaded again.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # transformers guesses this token wrongly; the file's own header, which the configuration has, is right.
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(config.eos_token_id)
    tokenizer.clean_up_tokenization_spaces = False  # it would take the space before a full stop out of a reply
    tokenizer.pad_token = tokenizer.unk_token  # not the end of a reply, which Unsloth would put right and say so
    config.pad_token_id = read.generation_config.pad_token_id = tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
