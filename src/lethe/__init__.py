from lethe.system.allocation import keep_freed_memory
from lethe.system.instructions import add_in_one_order

add_in_one_order()
keep_freed_memory()
