"""The pages: server-rendered HTML over the ledger, for planners, administrators and physicists.

A request passes: `protection` (host names, sizes, headers) -> `app` (routes) -> `endpoint` (user, role, form, errors)
-> a function of `views` -> `pages` (template) -> response. The README of this folder has the pages and the rules.
"""
