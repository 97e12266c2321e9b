"""The node as running processes: its service and periodic tasks, the parts of one machine, logs, health.

service             `running_node`: the DICOM side and the periodic tasks of one node process
periodic_tasks      the work that a node repeats
watchdog            recovers what dead processes, a full disk or a clock jump left behind
local_installation  broker, node, workers and pages on one machine (`cptdn up`)
supervisor          child processes that are restarted when they end
logging             structured logs, and the latest events for a support bundle
health              checks of every part: `doctor`, `ready` and the pages share them
overview            counts and states: `status` and the pages share them
page_fonts          fonts that pages of reports are drawn with, for `doctor`
support_bundle      what a helper needs to see, without patient data
"""
