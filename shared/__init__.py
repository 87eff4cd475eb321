"""The words both sides speak: identifiers, quantities, time, messages and topics.

Everything here is pure or a thin interface, and nothing here imports another package of ours.
"""
