"""Whether a precision still recognises people: how far it is from the fp32 student, and what it may be."""
