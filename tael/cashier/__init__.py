"""Pages that a payer opens. No asset of anybody else's, and nothing that the content policy does not allow."""
