"""What the model is told: the system message, the modality's line, and the item in its place, as token ids.

A prompt is prefix + item + suffix, tokenised one by one. The prefix (system message, start of the user's turn, the
modality's line) is the same for all samples of a modality, so its keys and values are computed once and reused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reid.errors import UserError
from reid.modality import Modality
from teacher.families import Family
from teacher.settings import ITEM, Prompts


@dataclass(frozen=True)
class Prompt:
    """Token ids around the item of one modality."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


@dataclass(frozen=True)
class PromptBook:
    """The prompts of a teacher, tokenised.

    Attributes:
        prompts: by modality; those that the recipe has a message for.
        image: the placeholders of one image.
        caption_tokens: how many tokens of a caption are kept.
        tokenizer: for captions.
    """

    prompts: dict[Modality, Prompt]
    image: tuple[int, ...]
    caption_tokens: int
    tokenizer: Any

    @classmethod
    def make(cls, settings: Prompts, family: Family, tokenizer: Any, image_token: int, tokens: int) -> PromptBook:
        """Tokenise the prompts of a recipe for a family.

        Args:
            settings: the recipe's section.
            family: how it writes a conversation.
            tokenizer: of the base.
            image_token: id of the placeholder. tokens: how many an image takes.

        Raises:
            UserError: the tokenizer does not know a token that the family needs, or a message names the image's.
        """
        missing = [token for token in family.special_tokens if not _is_one_token(tokenizer, token)]
        if missing:
            raise UserError(
                f"the tokenizer of this {family.name} has no token {missing[0]}; use the base's own tokenizer"
            )
        prompts = {}
        for modality in settings.modalities:
            before, after = settings.message(modality)
            opening, closing = family.chat.image if modality.is_image else ("", "")
            prefix = (
                f"{family.chat.system[0]}{settings.system}{family.chat.system[1]}{family.chat.user[0]}{before}{opening}"
            )
            suffix = f"{closing}{after}{family.chat.user[1]}"
            prompt = Prompt((*_beginning(tokenizer), *_ids(tokenizer, prefix)), tuple(_ids(tokenizer, suffix)))
            if image_token in (*prompt.prefix, *prompt.suffix):
                raise UserError(
                    f"prompts.{modality} or prompts.system: names {tokenizer.convert_ids_to_tokens(image_token)}, the "
                    f"place of an image; {ITEM} alone stands for it"
                )
            prompts[modality] = prompt
        return cls(prompts, (image_token,) * tokens, settings.caption_tokens, tokenizer)

    def captions(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Token ids of captions, cut to `caption_tokens`, and how many were cut.

        What looks like a special token in a caption is read as plain characters: a witness who writes <|image_pad|>
        has not shown an image.
        """
        if not texts:
            return [], 0
        # verbose warns of texts that are longer than the model reads, before they are cut.
        options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
        ids = self.tokenizer(list(texts), **options)["input_ids"]
        return [row[: self.caption_tokens] for row in ids], sum(len(row) > self.caption_tokens for row in ids)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _is_one_token(tokenizer: Any, token: str) -> bool:
    return len(_ids(tokenizer, token)) == 1


def _beginning(tokenizer: Any) -> tuple[int, ...]:
    """The token that this tokenizer puts before every text, if it does (LLaMA's BOS)."""
    first = tokenizer("a")["input_ids"][:1]
    return tuple(first) if first and first[0] == tokenizer.bos_token_id else ()
