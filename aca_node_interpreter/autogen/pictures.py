"""Pictures on their way to a model that can see.

An `AssistantAgent` passes a tool's result on as text. What a model gets to look at has to be in its context, so
`PictureContext` puts it there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from autogen_core import ComponentModel, Image
from autogen_core.model_context import ChatCompletionContext, UnboundedChatCompletionContext
from autogen_core.models import FunctionExecutionResultMessage, LLMMessage, UserMessage
from PIL import Image as Pixels

# Models' services shrink what is larger.
_MAX_SIDE = 2048
# Some 160 MB once decoded; a small file may hold far more.
_MAX_PIXELS = 40_000_000
# Pictures that are kept, and sent with each request to the model: some 100 MB, were all as large as they may be.
_REMEMBERED = 8


def images_of(contents: Sequence[bytes]) -> list[Image]:
    """Return pictures as AutoGen wants them, without those that can't be decoded or are too large."""
    return [image for image in map(_image_of, contents) if image is not None]


def _image_of(content: bytes) -> Image | None:
    try:
        picture = Pixels.open(BytesIO(content))
        if picture.width * picture.height > _MAX_PIXELS:
            return None
        picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
        return Image(picture)
    except Exception:  # code nobody trusts wrote it, and what is wrong with it is nobody's concern
        return None


class Pictures:
    """The last pictures, by the ids of the calls that made them."""

    def __init__(self) -> None:
        self._of_call: OrderedDict[str, list[Image]] = OrderedDict()

    def remember(self, call_id: str, images: list[Image]) -> None:
        """Keep a call's pictures, and forget those of the oldest calls."""
        self._of_call[call_id] = images
        while len(self._of_call) > 1 and sum(map(len, self._of_call.values())) > _REMEMBERED:
            self._of_call.popitem(last=False)

    def of(self, call_id: str) -> list[Image]:
        """Return a call's pictures."""
        return self._of_call.get(call_id, [])


class PictureContext(ChatCompletionContext):
    """A model context that shows the pictures a workbench's calls made, after the calls' results.

    As a component it is the context inside it, without pictures: they are not written down.

    Args:
        pictures: where they are, see `NodeWorkbench.model_context`.
        inner: what keeps the messages; by default all of them.
    """

    def __init__(self, pictures: Pictures, inner: ChatCompletionContext | None = None) -> None:
        super().__init__()
        self._pictures = pictures
        self._inner = inner or UnboundedChatCompletionContext()

    async def add_message(self, message: LLMMessage) -> None:
        """Add a message."""
        await self._inner.add_message(message)

    async def get_messages(self) -> list[LLMMessage]:
        """Return the messages, with the pictures."""
        shown: list[LLMMessage] = []
        for message in await self._inner.get_messages():
            shown.append(message)
            if isinstance(message, FunctionExecutionResultMessage):
                images = [image for each in message.content for image in self._pictures.of(each.call_id)]
                if images:
                    shown.append(UserMessage(content=["Pictures that the code made:", *images], source="tool"))
        return shown

    async def clear(self) -> None:
        """Forget the messages."""
        await self._inner.clear()

    async def save_state(self) -> Mapping[str, Any]:
        """Return the messages as they were added."""
        return await self._inner.save_state()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over messages."""
        await self._inner.load_state(state)

    def dump_component(self) -> ComponentModel:
        """Write down the context inside."""
        return self._inner.dump_component()
