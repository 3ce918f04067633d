"""The one model of this process: a base that stays, an adapter that is swapped, and the passes through both.

    with the context of a job:  model = home.resident(composition, ctx)
    next-token distributions:   model.forward(rows, "adapter")            last position of each row
    at chosen positions:        model.forward(rows, "base", keep=[[3, 4], …])
    greedy answers:             model.generate([model.chat("Hello")], "adapter", 16)

Made by ``evaluators._model.home``; read by every evaluator. Expected trouble is a ``SubjectError``: this composition cannot
be measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from evaluators._model import device
from evaluators._model.attention import Past, Row, Way, cache_of, lay_out, length_of, masks, probe, straight
from evaluators._model.decoding import decode, shared_length
from evaluators._model.graft import Pair, Which
from governance.errors import SubjectError
from governance.subject import canonical_digest

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Resident", "Which"]


@dataclass
class Resident:
    """A base in four bits with one adapter on it.

    Attributes:
        tokenizer: The one that would be deployed.
        device: Where it runs.
        kernel_path: Kernels and numerics, as text; part of every model key.
        versions: Libraries, by name.
        max_length: Most tokens of one row.
        eos: Token ids that end an answer.
        way: How rows are run; found by trying once for each base that is loaded, and part of every model key.
        halvings: How often a batch did not fit into memory and was halved.
    """

    tokenizer: PreTrainedTokenizerBase
    device: device.Device
    kernel_path: str
    versions: dict[str, str]
    max_length: int
    eos: frozenset[int]
    _pair: Pair
    _keys: dict[Which, str]
    way: Way = field(init=False)
    halvings: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        found = _WAYS.get(self._pair.model)
        if found is None:
            with self.use("base") as model:
                found = _WAYS[self._pair.model] = probe(model, self.device.kind)
        self.way = found
        self.kernel_path = f"{self.kernel_path}, {self.way}"
        self._keys = {which: canonical_digest([key, str(self.way)]) for which, key in self._keys.items()}

    @property
    def activations(self) -> torch.dtype:
        """Number format that attention masks have to be in."""
        dtype: torch.dtype = self._pair.model.get_input_embeddings().weight.dtype
        return dtype

    def model_key(self, which: Which) -> str:
        """Return the content key of the base or of base and adapter: weights, tokenizer, template, numerics, versions."""
        return self._keys[which]

    @contextmanager
    def use(self, which: Which) -> Iterator[PreTrainedModel]:
        """Give the base, or the base with what is held against it; put back afterwards what was in place before.

        Args:
            which: Model to use.

        Yields:
            The model; do not keep it.
        """
        with self._pair.use(which) as model:
            yield model

    def batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return indices of rows in batches of similar length below the device's token budget, longest first.

        Args:
            lengths: Tokens of each row.
        """
        found: list[list[int]] = []
        for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
            if not found or lengths[found[-1][0]] * (len(found[-1]) + 1) > self.device.token_budget:
                found.append([])
            found[-1].append(index)
        return found

    def pass_over(self, rows: Sequence[Sequence[int]], keep: Sequence[Sequence[int]], which: Which) -> list[torch.Tensor]:
        """Run one batch as it is, through one forward pass.

        Args:
            rows: Token ids of each row, none empty.
            keep: Positions of each row whose next-token distribution is wanted; ascending.
            which: Model to use.

        Returns:
            For each row a float32 tensor of natural log-probabilities, shape (positions, vocabulary), on the device.
        """
        import torch

        with torch.inference_mode():
            found = torch.log_softmax(self.plain_logits(rows, keep, which).float(), dim=-1)
        return list(found.split([len(p) for p in keep]))

    def plain_logits(self, rows: Sequence[Sequence[int]], keep: Sequence[Sequence[int]], which: Which) -> torch.Tensor:
        """Run one batch of plain rows.

        Args:
            rows: Token ids of each row, none empty.
            keep: Positions of each row that are read; ascending.
            which: Model to use.

        Returns:
            Logits in the model's own format, shape (positions of all rows, vocabulary).

        Raises:
            SubjectError: A row is too long, or the model answers with NaN.
        """
        import torch

        # Padding stands behind the tokens, where a causal model does not look: no mask is needed, and passes without are faster.
        ids, mask = self.padded(rows)
        with torch.inference_mode(), self.use(which) as model, self.only(_selection(mask, keep)):
            logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0]
        return _numbers(logits, which)

    def tree_logits(
        self, rows: Sequence[Row], keep: Sequence[Sequence[int]], which: Which, past: Past | None
    ) -> tuple[torch.Tensor, Past]:
        """Run one batch of rows that may branch, after what is cached.

        Args:
            rows: What is run.
            keep: Indices into each row that are read; ascending.
            which: Model to use.
            past: Cache of what all rows follow; it is left as it is.

        Returns:
            Logits as of ``plain_logits``, and the cache of the first row, with what came before it.
        """
        logits, cache = self._grow(rows, keep, which, past)
        return logits, [(layer.keys[:1], layer.values[:1]) for layer in cache.layers]

    def begin(self, rows: Sequence[Row], which: Which, past: Past | None) -> tuple[torch.Tensor, DynamicCache]:
        """Return the logits after the last token of each row, and the cache of all rows, padded on the right."""
        return self._grow(rows, [[len(r.ids) - 1] for r in rows], which, past)

    def _grow(
        self, rows: Sequence[Row], keep: Sequence[Sequence[int]], which: Which, past: Past | None
    ) -> tuple[torch.Tensor, DynamicCache]:
        import torch

        ids, positions, seen, distance = lay_out(rows, length_of(past), self.device.kind, int(self.tokenizer.pad_token_id))
        mask = masks(seen, distance, self.way.windows, self.activations)
        cache = cache_of(past or [], len(rows))
        with torch.inference_mode(), self.use(which) as model, self.only(_selection(ids, keep)):
            out = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        return _numbers(out.logits[0], which), out.past_key_values

    def forward(
        self, rows: Sequence[Sequence[int]], which: Which, *, keep: Sequence[Sequence[int]] | None = None
    ) -> list[torch.Tensor]:
        """Return next-token distributions, in the order of the rows; batches are made here.

        Args:
            rows: Token ids of each row, none empty, none longer than ``max_length``.
            which: Model to use.
            keep: Positions of each row; None: the last one.

        Returns:
            For each row a float32 tensor of natural log-probabilities, shape (positions, vocabulary), on the processor.
            Memory is four bytes times positions times vocabulary: keep few, or call ``pass_over`` batch by batch.
        """
        wanted = [[len(r) - 1] for r in rows] if keep is None else keep
        found: dict[int, torch.Tensor] = {}
        for batch in self.batches([len(r) for r in rows]):
            out = self.pass_over([rows[i] for i in batch], [wanted[i] for i in batch], which)
            found.update((i, t.cpu()) for i, t in zip(batch, out, strict=True))
        return [found[i] for i in range(len(rows))]

    def generate(
        self, prompts: Sequence[Sequence[int]], which: Which, max_new_tokens: int, *, stops: Sequence[str] = ()
    ) -> list[list[int]]:
        """Return greedy continuations, without the token that ended them.

        Args:
            prompts: Token ids.
            which: Model to use.
            max_new_tokens: Longest answer.
            stops: Texts after which an answer is not continued; they stay in it.
        """
        if not prompts:
            return []
        found: dict[int, list[int]] = {}
        shared = shared_length(prompts) if self.way.fits(max(len(p) for p in prompts) + max_new_tokens) else 0
        past = self.tree_logits([straight(prompts[0][:shared])], [[shared - 1]], which, None)[1] if shared else None
        for batch in self.batches([len(p) + max_new_tokens - shared for p in prompts]):
            out = decode(self, [prompts[i] for i in batch], which, max_new_tokens, stops, past)
            found.update(zip(batch, out, strict=True))
        return [found[i] for i in range(len(prompts))]

    def chat(self, prompt: str, system: str | None = None) -> list[int]:
        """Return the token ids of one user turn, ready for the answer.

        Args:
            prompt: What the user says.
            system: System message; None leaves it to the template.

        Returns:
            Ids by the chat template (sandboxed Jinja of the library), or of the bare text where there is none.

        Raises:
            SubjectError: The template fails on a plain conversation.
        """
        turns = [{"role": "user", "content": prompt}]
        if system is not None:
            turns.insert(0, {"role": "system", "content": system})
        return self.converse(turns)

    def converse(self, turns: list[dict[str, str]]) -> list[int]:
        """Return the token ids of a conversation, ready for the answer.

        Args:
            turns: Messages with ``role`` and ``content``.

        Raises:
            SubjectError: The template fails on it.
        """
        from jinja2 import TemplateError

        if not self.tokenizer.chat_template:
            return self.encode("\n\n".join(t["content"] for t in turns) + "\n")
        try:
            text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except (TemplateError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SubjectError(f"the chat template fails on a plain conversation: {error}") from error
        return self.encode(str(text), special=False)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return token ids; markers of the tokenizer within the text become single tokens, as in deployment.

        Args:
            text: Any text.
            special: Whether the tokenizer adds its own first and last tokens.
        """
        return list(self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token ids and attention mask of one batch, padded on the right; both int64 of shape (rows, longest row).

        Args:
            rows: Token ids, none empty.

        Raises:
            SubjectError: A row is longer than the base takes.
        """
        import torch

        width = max(len(r) for r in rows)
        if width > self.max_length:
            raise SubjectError(f"a prompt of {width} tokens is longer than the base's {self.max_length}")
        pad = int(self.tokenizer.pad_token_id)
        ids = [[*r, *[pad] * (width - len(r))] for r in rows]
        ones = [[*[1] * len(r), *[0] * (width - len(r))] for r in rows]
        return torch.tensor(ids, device=self.device.kind), torch.tensor(ones, device=self.device.kind)

    @contextmanager
    def only(self, select: torch.Tensor) -> Iterator[None]:
        """Let the output embeddings see the selected positions alone: shape (1, selected, width)."""
        head = self._pair.model.get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda _, args: (args[0][select].unsqueeze(0), *args[1:]))
        try:
            yield
        finally:
            hook.remove()


#: How each loaded base is run.
_WAYS: WeakKeyDictionary[PreTrainedModel, Way] = WeakKeyDictionary()


def _selection(like: torch.Tensor, keep: Sequence[Sequence[int]]) -> torch.Tensor:
    import torch

    select = torch.zeros(like.shape, dtype=torch.bool)
    for row, positions in enumerate(keep):
        select[row, list(positions)] = True
    return select.to(like.device)


def _numbers(logits: torch.Tensor, which: Which) -> torch.Tensor:
    """Raise if the first logit of a position is no number: then none of them is."""
    if bool(logits[:, 0].isnan().any()):
        raise SubjectError(f"the {which} answers with values that are no numbers (NaN); it cannot be measured")
    return logits
