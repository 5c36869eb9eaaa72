"""What anywidget asks of Colab, so that widgets of others are shown."""

from types import SimpleNamespace

_widgets = SimpleNamespace(_installed_url=None)


def enable_custom_widget_manager() -> None:
    """Colab fetches its widget manager here."""
    _widgets._installed_url = "https://widgets.example"
