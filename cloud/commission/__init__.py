"""Commission: what members earn by recommending, three levels deep."""
