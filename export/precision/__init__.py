"""Types of numbers in a graph: which node computes in which, what that does to the result, and what it saves."""
