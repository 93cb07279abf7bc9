pub async fn resume(app: &crate::app::App) -> Result<(), super::Error> { let _ = app; Ok(()) }
