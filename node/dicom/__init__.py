"""DICOM on the network: the only room, besides the small PACS, that imports pynetdicom.

    network     connections, the upper layer, TLS, presentation contexts and statuses (PS3.7, PS3.8)
    headers     data sets as received: structure checks and early reading of the header
    scp         what peers ask of this node: association control, C-STORE, C-ECHO, commitment results
    query       what this node asks of a PACS about its holdings: C-FIND, C-MOVE, C-GET
    scu         what this node sends: C-STORE, storage commitment requests, the check of a destination

Imports run from the last to the first: `query` needs the receiving side of `scp`, because what a C-GET brings is
received like anything else, and `scu` needs `query` for the check of a destination.
"""
