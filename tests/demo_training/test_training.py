"""The trainer on a network small enough for a test: it learns, resumes, is read by others."""

from pathlib import Path

import pytest
import torch

from demo_training.batches import ChatEncoder, Document, Limits, documents, pack
from demo_training.examples import DEFAULT_SYSTEM
from demo_training.export import export, load
from demo_training.model import Model, Packing, Shape
from demo_training.tokenizer import generated_texts, save, train
from demo_training.train import Plan, rate_at
from demo_training.train import train as run


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save(train(generated_texts(300, 1), 700, spaced_words=10), folder, DEFAULT_SYSTEM)
    return folder


@pytest.fixture
def shape() -> Shape:
    return Shape(vocabulary=700, hidden=64, layers=2, heads=2, key_value_heads=1, mlp=64)


def test_packed_batches_hold_the_documents_and_train_only_answers(tokenizer: Path) -> None:
    stream = documents(tokenizer, 5)
    made: list[Document] = [next(stream) for _ in range(40)]
    limits = Limits(tokens=4096, documents=64, targets=2048, context=2048)
    batch = next(pack(iter(made), limits, padding=699))
    end = ChatEncoder(tokenizer).tokenizer.token_to_id("<|im_end|>")
    trained = batch.targets[batch.targets != -100]
    used = [number for number, start in enumerate(batch.starts[:-1]) if start < 4096]
    for number in used:
        start, stop = batch.starts[number : number + 2]
        assert stop - start <= 2048
        assert batch.positions[start:stop].tolist() == list(range(stop - start))
    for document, start in zip(made, batch.starts, strict=False):
        if start + len(document.tokens) > 4096:
            break
        held = batch.tokens[start : start + len(document.tokens)]
        assert held.tolist() == document.tokens.tolist()
    assert (batch.tokens[batch.where[: len(trained)] + 1] == trained).all()
    assert 0 < len(trained) < 2048 and end in trained


def test_packing_survives_documents_of_any_length(tokenizer: Path) -> None:
    short = Document(*(part[:3] for part in vars(next(documents(tokenizer, 5))).values()))
    limits = Limits(tokens=4096, documents=8, targets=512, context=1024)
    batch = next(pack(iter([short] * 100), limits, padding=699))
    assert batch.starts[-1] == 4096 and max(batch.starts[1:] - batch.starts[:-1]) <= 1024


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_logits_are_those_of_transformers(tokenizer: Path, shape: Shape, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    made = Model(shape)
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    export(made, tokenizer, tmp_path)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokens = torch.randint(0, 690, (90,))
    positions = torch.cat((torch.arange(30), torch.arange(60)))
    packing = Packing(torch.tensor([0, 30, 90, 90], dtype=torch.int32), positions, 60)
    model = load(tmp_path)
    with torch.no_grad():
        ours = model.logits(model.hidden_states(tokens, packing))
        first, second = (reference(part[None]).logits[0] for part in tokens.split([30, 60]))
    torch.testing.assert_close(ours, torch.cat((first, second)), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_thirty_steps_learn_and_a_resumed_run_goes_on(
    tokenizer: Path, shape: Shape, tmp_path: Path
) -> None:
    plan = Plan(
        tokenizer,
        tmp_path / "first",
        seconds=140,
        peak=1e-2,
        tokens=2048,
        workers=1,
        steps=30,
        device="cpu",
        compiled=False,
        shape=shape,
    )
    told: list[str] = []
    first = run(plan, told.append)
    untrained = torch.tensor(float(shape.vocabulary)).log().item()
    assert first < untrained and "first step" in told[0]
    resumed = Plan(**{**vars(plan), "out": tmp_path / "second", "resume": tmp_path / "first"})
    assert run(resumed, told.append) < first


def test_the_rate_rises_then_falls_to_nothing() -> None:
    assert [rate_at(at, 100, 4) for at in (0, 2, 4, 52, 100)] == pytest.approx([0, 0.5, 1, 0.5, 0])
