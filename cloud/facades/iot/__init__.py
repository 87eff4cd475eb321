"""The IoT dialect: the platform of water purifiers, its users, devices, products, orders, tickets and brands."""
