"""The merchant API. QFPay's field names are used here and nowhere else in the gateway."""
