//! Notifications of payment providers: who sent them, and what they say.
