//! Personal data as the adapter writes it into an order: receiver, phone, address; shown masked unless revealed.
