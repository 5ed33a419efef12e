"""What machine code the back ends of GPU vendors make of Walsh's kernels: tools/audit."""
