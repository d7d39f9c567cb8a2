"""What two graphs of a student differ in: types of numbers, outputs of layers, size, metadata."""
