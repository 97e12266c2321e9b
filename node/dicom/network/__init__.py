"""DICOM network code that both sides of an association use: the upper layer, sockets, TLS, presentation contexts.

pynetdicom negotiates and runs the state machine of PS3.8; its private names are used in `pynetdicom_internals` only.
Nothing here knows what a received instance is for: the SCP and the SCU are rooms above this one.
"""
