"""The simulated devices, asked by masters that are not ours: mbpoll and pymodbus."""
