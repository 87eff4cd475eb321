"""Water in the cloud: pours, litres, purifiers."""
