"""QFPay's dialect: what merchants send and receive."""
