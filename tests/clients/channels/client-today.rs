use tokio_tungstenite::{connect_async, tungstenite::Message};
use futures::{StreamExt, SinkExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = "ws://localhost:8080/ws?token=abc123";
    let (ws_stream, _) = connect_async(url).await?;
    let (mut write, mut read) = ws_stream.split();

    // Subscribe
    let sub_msg = serde_json::json!({
        "type": "subscribe",
        "data": {"channels": ["agent-updates"]}
    });
    write.send(Message::Text(sub_msg.to_string().into())).await?;

    // Read messages
    while let Some(msg) = read.next().await {
        let msg = msg?;
        if let Message::Text(text) = msg {
            let data: serde_json::Value = serde_json::from_str(&text)?;
            if data["type"] == "ping" {
                let pong = serde_json::json!({"type": "pong"});
                write.send(Message::Text(pong.to_string().into())).await?;
            } else {
                println!("Received: {}", text);
            }
        }
    }

    Ok(())
}
