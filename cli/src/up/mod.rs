mod destination;
mod ports;
mod reading;
