"""The SCP side of the node: associations that peers open to it, and the instances that they send.

The way of one instance is a line. Each step is one module, and from the socket to the ledger the instance is one
object, `IncomingInstance`:

    receive   receive.FastReceiver   PDUs of a C-STORE go from the socket straight into the file of the instance; what
                                     is unusual takes pynetdicom's way into the same file, see handlers.handle_store
    read      headers.reading        the header: from the first bytes while the rest arrives, else from the whole file
    check     checks                 the data set is what the command announced, and its UIDs are valid
    store     StudyStore             final name; file and folder are forced to the disk
    index     index                  the ledger row is committed
    compare   content                only where the UID is stored with other bytes: whether the content is the same
    count     senders                what the association brought of each study, for the audit trail

`intake.Intake` calls the steps in this order and returns the outcome for the response. An instance that fails a check
is quarantined with its reason. `ae` puts everything together and starts the server; `access_control`, `admission` and
`user_identity` decide who may open an association; `associations` finds the sender of an association;
`store_messages` encodes and decodes C-STORE messages.
"""
