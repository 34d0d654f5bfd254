"""From addresses to function names. Pure: it asks for files, others open them."""
