"""One module a family of formats. Each has `read(data, job)`: reports out, and how it ended.

They run in the reading process only; the web process never imports one.
"""
