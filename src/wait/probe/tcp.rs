use super::Answer;

/// Good when something accepts the connection, over TCP or at a Unix socket.
pub fn judge(connected: Result<(), String>) -> Answer {
    match connected {
        Ok(()) => Answer::Good,
        Err(why) => Answer::NotYet(why),
    }
}
