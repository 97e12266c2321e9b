"""Whether two objects under one SOP Instance UID are the same instance: by their content, not by their bytes.

Archives send an instance again in another transfer syntax, recompressed without loss, with text in another character
set, with elements added or coerced. All of that is the same instance. `comparison.differences_between` decodes both
and names what differs in what counts (`relevant_attributes`, `attributes`, `pixels`); `comparison_process` does it in
a process of its own with limits on memory and time, because the bytes come from outside and codecs are C code;
`comparison_client` starts and ends that process. No network here, and no pynetdicom.
"""
