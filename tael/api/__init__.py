"""Level 1: what a merchant sees. QFPay's names live here and nowhere else inside."""
