"""What a workbench hands back: text for the model, and pictures."""

from __future__ import annotations

from autogen_core import Image
from autogen_core.tools import ImageResultContent, TextResultContent, ToolResult


class NodeToolResult(ToolResult):
    """A `ToolResult` whose text holds no base64.

    AutoGen's own writes pictures into it, where an `AssistantAgent`'s model would pay for them and see nothing. The
    text names their files anyway.
    """

    def to_text(self, replace_image: str | None = None) -> str:
        """Return the text, with `replace_image` for each picture if it is given."""
        if replace_image is not None:
            return super().to_text(replace_image)
        return "\n".join(each.content for each in self.result if isinstance(each, TextResultContent))


def told(name: str, text: str, images: list[Image]) -> NodeToolResult:
    """Return the result of a call that worked."""
    pictures = [ImageResultContent(content=image) for image in images]
    return NodeToolResult(name=name, result=[TextResultContent(content=text), *pictures])


def failed(name: str, text: str) -> NodeToolResult:
    """Return the result of a call that did not."""
    return NodeToolResult(name=name, result=[TextResultContent(content=text)], is_error=True)
