//! model descriptions, pictures in, answers out
