mod banner;
mod destination;
mod ports;
mod reading;
