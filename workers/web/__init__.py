"""Answers of workers to the pages: nomogram, pictures of series and reports, drift. Without torch.

`node.messaging.questions` sends a query, `web_queries` answers it, `pictures` draws.
"""
