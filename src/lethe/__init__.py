import os

from lethe.system.allocation import keep_freed_memory

# Matrix products add in one order, wherever in memory their arrays lie and whichever processor with AVX2 computes.
# Without it, MKL's last bits depend on addresses. It is read at the first product.
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")
keep_freed_memory()
