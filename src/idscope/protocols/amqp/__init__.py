"""AMQP 1.0 as far as no engine speaks it: the SASL layer, as a machine without I/O."""
