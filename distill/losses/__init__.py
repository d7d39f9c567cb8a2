"""What a student is compared with its teacher by: one small file each, functions of tensors and nothing else."""
