"""What DICOMweb (PS3.18) needs on both sides: messages in parts, their way to the intake, the connection to a server.

A part of a multipart message takes the way of an instance that came by C-STORE (`node.dicom.scp`): the same file, the
same checks, quarantine and ledger row. `multipart` splits the message, `arrivals` gives its parts to the intake;
`reception` is the origin server of STOW-RS without its network, `store_responses` its answer, `tokens` its senders.
`http_client` connects to a server of others, for `node.dicom.query` and `node.dicom.scu`.
"""
