"""The REST API and the layer that every request passes through, the page's too."""
