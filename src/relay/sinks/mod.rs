//! The sinks: RabbitMQ, NATS JetStream, webhooks.
