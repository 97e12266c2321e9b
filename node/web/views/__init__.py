"""The views: one function for each page or form, from the ledger to a template.

A view takes a `PageRequest` that may do what the table of `node.web.app` says, and returns a response. It computes
nothing: numbers are those of the ledger, or of a worker that is asked by `context.answers`.
"""
